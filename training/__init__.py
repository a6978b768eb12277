"""Offline and jump-start training of spiking policies; needs torch."""
