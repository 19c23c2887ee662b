"""How a network runs fast: forms, chunks, precision, memory."""
