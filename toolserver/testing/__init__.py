"""For authors of tools: run them in a test as a real server would."""
