"""What surrounds the loop: checkpoints, fingerprint, signals, processes, faults in words, the finished folder."""
