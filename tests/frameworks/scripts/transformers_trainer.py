"""The Trainer of transformers with its own WandbCallback: run with our wandb and with the real one."""

import os

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

os.environ.update(WANDB_MODE="offline", WANDB_PROJECT="hugging", WANDB_WATCH="all", WANDB_CONSOLE="off")
set_seed(1)
config = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
)
data = [
    {"input_ids": torch.randint(0, 40, (8,)), "attention_mask": torch.ones(8), "labels": torch.tensor(i % 2)}
    for i in range(24)
]
arguments = TrainingArguments(
    output_dir="out",
    run_name="tiny",
    report_to=["wandb"],
    num_train_epochs=110,
    per_device_train_batch_size=24,
    logging_steps=20,
    eval_strategy="steps",
    eval_steps=50,
    save_strategy="no",
    disable_tqdm=True,
    use_cpu=True,
)
trainer = Trainer(
    model=BertForSequenceClassification(config), args=arguments, train_dataset=data, eval_dataset=data
)
trainer.train()
trainer.predict(data[:4])
