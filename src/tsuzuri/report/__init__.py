"""One self-contained HTML page per build. Reads manifests, metrics and samples; imports no torch."""
