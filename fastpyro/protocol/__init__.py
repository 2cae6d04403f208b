"""Messages, in both dialects, and what they carry: calls, batches, blobs, what travels beside. Knows no descriptors."""
