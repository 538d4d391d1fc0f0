"""The FID's Inception-v3 once more, in PyTorch: modules and names as in the published state dict, random weights.

It shares no code with sde_vae/nets/inception.py: normalisation is not folded, pools are torch's, sizes are checked by torch.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional


class BasicConv2d(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def mean3(x):
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def max3(x):
    return F.max_pool2d(x, 3, stride=1, padding=1)


class Branches(nn.Module):
    """A block: {branch: [(name, outputs, kernel, stride, padding), ...]}, a list of lists being a fork; pools as functions."""

    def __init__(self, inputs, branches):
        super().__init__()
        self.plan = []
        for chain in branches:
            steps, width = [], inputs
            for step in chain:
                if callable(step):
                    steps.append(step)
                    continue
                fork = step if isinstance(step, list) else [step]
                for name, *arguments in fork:
                    self.add_module(name, BasicConv2d(width, *arguments))
                width = sum(outputs for _, outputs, *_ in fork)
                steps.append([name for name, *_ in fork])
            self.plan.append(steps)

    def forward(self, x):
        results = []
        for steps in self.plan:
            y = x
            for step in steps:
                y = step(y) if callable(step) else torch.cat([getattr(self, name)(y) for name in step], dim=1)
            results.append(y)
        return torch.cat(results, dim=1)


def halve(x):
    return F.max_pool2d(x, 3, stride=2)


def block_a(inputs, pool):
    return Branches(
        inputs,
        [
            [("branch1x1", 64, 1)],
            [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5, 1, 2)],
            [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3, 1, 1), ("branch3x3dbl_3", 96, 3, 1, 1)],
            [mean3, ("branch_pool", pool, 1)],
        ],
    )


def block_b(inputs):
    return Branches(
        inputs,
        [
            [("branch3x3", 384, 3, 2)],
            [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3, 1, 1), ("branch3x3dbl_3", 96, 3, 2)],
            [halve],
        ],
    )


def block_c(inputs, c):
    row, column = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
    return Branches(
        inputs,
        [
            [("branch1x1", 192, 1)],
            [("branch7x7_1", c, 1), ("branch7x7_2", c, *row), ("branch7x7_3", 192, *column)],
            [
                ("branch7x7dbl_1", c, 1),
                ("branch7x7dbl_2", c, *column),
                ("branch7x7dbl_3", c, *row),
                ("branch7x7dbl_4", c, *column),
                ("branch7x7dbl_5", 192, *row),
            ],
            [mean3, ("branch_pool", 192, 1)],
        ],
    )


def block_d(inputs):
    return Branches(
        inputs,
        [
            [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
            [
                ("branch7x7x3_1", 192, 1),
                ("branch7x7x3_2", 192, (1, 7), 1, (0, 3)),
                ("branch7x7x3_3", 192, (7, 1), 1, (3, 0)),
                ("branch7x7x3_4", 192, 3, 2),
            ],
            [halve],
        ],
    )


def block_e(inputs, pool):
    def fork(prefix):
        return [(f"{prefix}a", 384, (1, 3), 1, (0, 1)), (f"{prefix}b", 384, (3, 1), 1, (1, 0))]

    return Branches(
        inputs,
        [
            [("branch1x1", 320, 1)],
            [("branch3x3_1", 384, 1), fork("branch3x3_2")],
            [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3, 1, 1), fork("branch3x3dbl_3")],
            [pool, ("branch_pool", 192, 1)],
        ],
    )


class Twin(nn.Module):
    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.Mixed_5b = block_a(192, 32)
        self.Mixed_5c = block_a(256, 64)
        self.Mixed_5d = block_a(288, 64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b = block_c(768, 128)
        self.Mixed_6c = block_c(768, 160)
        self.Mixed_6d = block_c(768, 160)
        self.Mixed_6e = block_c(768, 192)
        self.Mixed_7a = block_d(768)
        self.Mixed_7b = block_e(1280, mean3)
        self.Mixed_7c = block_e(2048, max3)
        self.fc = nn.Linear(2048, 1008)

    def forward(self, images):
        """uint8 NHWC -> {block: its output, NHWC} with "features" [n, 2048] and "logits" [n, 1008]."""
        x = torch.from_numpy(images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).to(self.fc.weight.dtype) / 255
        x = 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
        outputs = {}
        for name, module in self.named_children():
            if name == "fc":
                break
            x = module(x)
            outputs[name] = x.permute(0, 2, 3, 1)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = halve(x)
        outputs["features"] = x.mean(dim=(2, 3))
        outputs["logits"] = self.fc(outputs["features"])
        return {name: y.numpy() for name, y in outputs.items()}


def empty_twin():
    with torch.device("meta"):
        return Twin().eval()


def twin_of(state):
    """The twin with these weights, in their type."""
    twin = empty_twin()
    twin.load_state_dict(state, assign=True)
    return twin


def random_state(seed):
    """A float32 state dict: kernels that keep the activations' size, running moments that are neither 0 nor 1."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, array in empty_twin().state_dict().items():
        shape = tuple(array.shape)
        if name.endswith(("conv.weight", "fc.weight")):
            value = rng.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[1:]), dtype=np.float32)
        elif name.endswith(("running_var", "bn.weight")):
            value = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        elif name.endswith("num_batches_tracked"):
            value = np.array(1000)
        else:
            value = np.float32(0.1) * rng.standard_normal(shape, np.float32)
        state[name] = torch.from_numpy(value)
    return state
