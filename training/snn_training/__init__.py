"""Training of spiking policies; the scripts beside this package are its doors."""
