"""What several tests share: doubles, samples, graphs of nodes."""
