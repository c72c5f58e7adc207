//! HPACK end to end, by bytes alone: RFC 7541 appendix C, vectors, the recorded requests, encoder against decoder.
