"""What is asked for and what is signed: typed operations, payloads, the approval JSON. Pure."""
