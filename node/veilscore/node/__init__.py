"""What an institution runs beside its data."""
