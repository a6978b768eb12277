"""TD3BC over sequences, offline and with a jump start (JSRL)."""
