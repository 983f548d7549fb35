"""The sans-IO engine: messages, envelopes, machines, and a simulator to run them in."""
