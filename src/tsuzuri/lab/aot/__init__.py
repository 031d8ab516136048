"""`plan --aot`: the step compiled for TPUs ahead of time, on a machine without one.

`page` asks `compiler` for the first of the step's `forms` that fits; `worker`, `step` and `bridge` run in
another process, where jax, libtpu and torchax are.
"""
