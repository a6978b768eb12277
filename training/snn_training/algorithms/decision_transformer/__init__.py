"""The spiking decision transformer, trained on datasets."""
