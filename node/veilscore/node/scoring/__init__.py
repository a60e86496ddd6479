"""Joint encrypted scores: asking for them, and answering as a data holder."""
