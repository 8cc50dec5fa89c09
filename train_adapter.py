"""Train one adapter: accelerate launch train_adapter.py --method lora|loraplus|pissa [--profile NAME] [--set K=V]"""

from pipeline.commands.train import app
from pipeline.options import main

if __name__ == "__main__":
    main(app)
