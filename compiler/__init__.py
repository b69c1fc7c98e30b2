"""From a trained model to an `Artifact`: load, frontends, rewrites, backends. Nothing here talks to a database."""
