"""What every room stands on: files, manifests, resume, errors, configuration, progress. Imports no torch."""
