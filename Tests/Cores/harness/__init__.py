"""A reader of ELF cores that shares no code with Sluice, and what cores are compared with."""
