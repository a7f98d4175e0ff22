"""Bodies about zero-shot labels: in requests, of label sets, of pictures."""
