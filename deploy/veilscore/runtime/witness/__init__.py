"""A witness as a process, and how a log asks one (C2SP tlog-witness over HTTP)."""
