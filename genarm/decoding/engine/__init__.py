"""Requests: admitted to slots, stepped, streamed, ended."""
