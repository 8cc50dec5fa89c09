"""Train one adapter: accelerate launch train_adapter.py --method lora|loraplus|pissa [--profile NAME] [--set K=V]"""

import signal
import sys

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # first of all: the imports take seconds in which a stop may come
        signal.signal(number, lambda received, _: sys.exit(128 + received))

    from pipeline.warm.client import hand_over

    hand_over()

    from pipeline.commands.train import app
    from pipeline.options import main

    main(app)
