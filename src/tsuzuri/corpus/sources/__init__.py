"""Where documents come from: each kind of source is one small class that lists its batches and reads them."""
