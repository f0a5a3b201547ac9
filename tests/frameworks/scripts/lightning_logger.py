"""Lightning's own WandbLogger in a small training: run with our wandb and with the real one."""

import sys
import warnings

import torch

if "pytorch_lightning" in sys.argv:
    import pytorch_lightning as lightning
    from pytorch_lightning.loggers import WandbLogger
else:
    import lightning.pytorch as lightning
    from lightning.pytorch.loggers import WandbLogger

warnings.simplefilter("ignore")


class Model(lightning.LightningModule):
    """Two layers, and all that a module usually logs."""

    def __init__(self, width=8, rate=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 1)
        )

    def training_step(self, batch, index):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layers(x), y)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val/loss", torch.nn.functional.mse_loss(self.layers(x), y))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), self.hparams.rate)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


lightning.seed_everything(1, verbose=False)
x = torch.randn(32, 4)
data = torch.utils.data.TensorDataset(x, x.sum(dim=1, keepdim=True))
logger = WandbLogger(name="lit", project="lightning", offline=True, tags=["a"], config={"mine": 1})
model = Model()
logger.watch(model, log="all", log_freq=2, log_graph=True)
trainer = lightning.Trainer(
    max_epochs=2,
    logger=logger,
    log_every_n_steps=2,
    accelerator="cpu",
    enable_progress_bar=False,
    enable_model_summary=False,
    enable_checkpointing=False,
    callbacks=[lightning.callbacks.LearningRateMonitor()],
)
loader = torch.utils.data.DataLoader(data, batch_size=8)
trainer.fit(model, loader, loader)
trainer.validate(model, loader, verbose=False)
logger.log_table("samples", columns=["a", "b"], data=[[1, "x"], [2, "y"]])
logger.log_text("texts", columns=["text"], data=[["hello"]], step=100)
logger.log_image("pictures", images=[torch.zeros(3, 4, 4), torch.ones(3, 4, 4)], caption=["none", "all"])
logger.log_hyperparams({"later": {"deep": 2}, "path": None})
logger.experiment.summary["done"] = True
logger.experiment.unwatch(model)
logger.finalize("success")
logger.experiment.finish()
