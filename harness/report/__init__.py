"""What a run leaves for people and machines: its record as JSON, JUnit properties, a summary for the terminal. Pure."""
