"""The methods that guided decoding is compared with: at test time behind the decoder's protocol, and trained."""
