"""Where a holder's table comes from: CSV, Parquet or a database, read only."""
