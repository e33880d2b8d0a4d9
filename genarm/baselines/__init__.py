"""The methods that guided decoding is compared with: behind the decoder's protocol, and trained."""
