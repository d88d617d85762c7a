"""CLIP: image tower, text tower, tokenizer and input normalisation."""
