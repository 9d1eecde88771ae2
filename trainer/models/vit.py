"""The video vision transformer (ViT) of VideoMAE: joint attention over the tokens of a clip, without a class token.

As ``modeling_finetune.py`` of MCG-NJU/VideoMAE (Tong et al., NeurIPS 2022) and of its AVA code, up to the last norm.
Names of parameters are the same, and so are the biases of queries and values. Keys have no bias: it would shift all
scores of a query equally, which the softmax ignores.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear, pad, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from torchvision.ops import stochastic_depth

PATCH = 16  # px


class VisionTransformer(nn.Module):
    """Map normalized clips (B, 3, T, H, W) to features (B, width, T / tubelet, H / 16, W / 16), the latter rounded up.

    T is ``grid[0] * tubelet``. Frames are padded with zeros, the mean color, on the right and at the bottom to
    multiples of 16 px. ``grid`` is (T', H', W') of the clips in pre-training; for other sizes the position table is
    resized for each time step, as VideoMAE does (V-JEPA: over all three axes). It is a buffer, which training does not
    change: VideoMAE's sine until a checkpoint brings another. ``drop_path``: probability of the last block to skip a
    branch in training, rising from 0 in the first. ``recompute``: keep only the inputs of blocks for the backward pass
    and compute the blocks again there.
    """

    def __init__(self, width, depth, heads, tubelet, grid=(8, 14, 14), drop_path=0.0, recompute=False):
        super().__init__()
        self.grid, self.recompute = grid, recompute
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv3d(3, width, (tubelet, PATCH, PATCH), stride=(tubelet, PATCH, PATCH))
        self.register_buffer("pos_embed", sine_table(grid[0] * grid[1] * grid[2], width))
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(width, heads, rate) for rate in rates)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.apply(_initialize)

    def forward(self, clips: Tensor) -> Tensor:
        height, width = clips.shape[-2:]
        grid = self.patch_embed.proj(pad(clips, (0, -width % PATCH, 0, -height % PATCH)))
        size = grid.shape[2:]
        x = grid.flatten(2).transpose(1, 2) + self._positions(size)
        recompute = self.recompute and torch.is_grad_enabled()
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        return self.norm(x).transpose(1, 2).unflatten(2, size)

    def _positions(self, size):
        """Return the table (1, tokens, width) for features of ``size``, float32: bfloat16 would keep 8 bits of it."""
        table = self.pos_embed.float()
        if tuple(size[1:]) == self.grid[1:]:
            return table
        steps = table.unflatten(1, self.grid)[0].permute(0, 3, 1, 2)
        resized = interpolate(steps, size=tuple(size[1:]), mode="bicubic", align_corners=False)
        return resized.permute(0, 2, 3, 1).reshape(1, -1, table.shape[-1])


class Block(nn.Module):
    """Attention and MLP, each after a norm and added to its input; (B, tokens, width) in and out."""

    def __init__(self, width, heads, drop_path):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        x = x + stochastic_depth(self.attn(self.norm1(x)), self.drop_path, "row", self.training)
        hidden = nn.functional.gelu(self.mlp.fc1(self.norm2(x)))
        return x + stochastic_depth(self.mlp.fc2(hidden), self.drop_path, "row", self.training)


class Attention(nn.Module):
    """Multi-head attention over all tokens; (B, tokens, width) in and out."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = linear(x, self.qkv.weight, bias).unflatten(2, (3, self.heads, -1))
        mixed = scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        return self.proj(mixed.transpose(1, 2).flatten(2))


def sine_table(tokens: int, width: int) -> Tensor:
    """Return VideoMAE's positions (1, tokens, width), float32: sines and cosines of the number of a token in its clip.

    The number counts time, rows and columns as one; it is not a position in three dimensions.
    """
    pair = torch.arange(width, dtype=torch.float64) // 2 * 2
    angle = torch.arange(tokens, dtype=torch.float64)[:, None] / 10_000 ** (pair / width)
    angle[:, 0::2], angle[:, 1::2] = angle[:, 0::2].sin(), angle[:, 1::2].cos()
    return angle.float()[None]


def _initialize(module):
    """Initialize as VideoMAE's fine-tuning code does: linear layers; the patches' convolution as PyTorch does."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
