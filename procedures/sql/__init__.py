"""The catalog, the procedures and the grants, as numbered SQL files that install runs in order."""
