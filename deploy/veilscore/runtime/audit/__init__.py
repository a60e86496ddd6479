"""What an auditor types: nothing here needs a configuration or a key of ours."""
