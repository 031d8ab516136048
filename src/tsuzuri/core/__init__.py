"""What every room stands on: files, manifests and resume, errors, configuration, progress. Imports no torch."""
