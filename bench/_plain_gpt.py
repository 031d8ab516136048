"""The peer of the training benches: a modern GPT and its loop as one would write them plainly, after nanoGPT.

Fused projections, SDPA, full logits, torch's fused AdamW, torch.compile over the whole model. It computes the
same function as our qwen3 shape, so that tokens a second compare like with like."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsuzuri.model.config import ModelConfig


class PlainBlock(nn.Module):
    """Attention and SwiGLU, each behind an RMSNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.num_attention_heads, config.head_dim
        width, inner = config.hidden_size, config.num_attention_heads * config.head_dim
        self.norm_1, self.norm_2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.q_norm, self.k_norm = nn.RMSNorm(self.head_dim, eps=1e-6), nn.RMSNorm(self.head_dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * inner, bias=False), nn.Linear(inner, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (B, T, D) → (B, T, D)."""
        B, T, _ = x.shape
        q, k, v = (
            part.view(B, T, self.heads, self.head_dim) for part in self.qkv(self.norm_1(x)).chunk(3, -1)
        )
        q, k = (_turn(norm(part), cos, sin) for norm, part in ((self.q_norm, q), (self.k_norm, k)))
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(B, T, -1))
        gate, up = self.gate_up(self.norm_2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class PlainGPT(nn.Module):
    """Token ids and targets (B, T) → mean loss."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(PlainBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=1e-6)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.head.weight = self.embedding.weight
        frequencies = config.rope_theta ** -(torch.arange(0, config.head_dim, 2) / config.head_dim)
        angles = torch.outer(torch.arange(config.max_position_embeddings), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos()[:, None])
        self.register_buffer("sin", angles.sin()[:, None])
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_residual = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(
                    parameter, std=0.02 / (2 * config.num_hidden_layers) ** 0.5 if into_residual else 0.02
                )

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The mean cross-entropy (nats)."""
        x = self.embedding(tokens)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, cos.to(x.dtype), sin.to(x.dtype))
        return F.cross_entropy(self.head(self.norm(x)).float().flatten(0, 1), targets.flatten())


class PlainLoop:
    """nanoGPT's loop: forward under autocast, backward, clip, fused AdamW; `set_lr` is the schedule."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        device: str,
        dtype: torch.dtype,
        compiled: bool,
        lr: float,
        seed: int = 1,
    ) -> None:
        torch.manual_seed(seed)
        self.model = PlainGPT(config).to(device)
        self.device, self.dtype = device, dtype
        self.run = torch.compile(self.model, dynamic=False) if compiled else self.model
        decayed = [p for p in self.model.parameters() if p.dim() == 2]
        rest = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)

    def set_lr(self, lr: float) -> None:
        """The learning rate from the next step on."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def step(self, rows: Tensor, micro_batch_rows: int) -> float:
        """One optimizer step on rows (batch_rows, T + 1); the mean loss."""
        rows = rows.to(self.device)
        micro_batches = rows.split(micro_batch_rows)
        total = 0.0
        for micro in micro_batches:
            with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
                loss = self.run(micro[:, :-1].contiguous(), micro[:, 1:].contiguous()) / len(micro_batches)
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(total)
