"""What a node keeps of requests and consents: openings, erasure, disclosure."""
