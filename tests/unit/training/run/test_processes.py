"""What a training refuses of how its processes were started."""

import pytest

from common.errors import InputError
from training.run.processes import check_sharding


def test_a_twin_is_not_sharded_by_a_file_that_names_another_block():
    for sharded, causal in ((False, False), (False, True), (True, False)):
        check_sharding(sharded, causal, "ar-lora")
    with pytest.raises(InputError, match=r"ar-lora: FSDP shards .* launch with configs/accelerate/ddp\.yaml"):
        check_sharding(True, True, "ar-lora")
