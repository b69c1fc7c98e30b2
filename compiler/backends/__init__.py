"""Three interpreters of a `Program`: numpy (the reference), SQL, and ONNX. Backends never import scikit-learn."""
