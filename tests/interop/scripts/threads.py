"""Rows and prints by threads, with a join before the next begins, so that the order is known."""

import threading

import wandb

run = wandb.init()


def work(number):
    run.log({"worker": number})
    print(f"worker {number}")


for number in range(5):
    thread = threading.Thread(target=work, args=(number,))
    thread.start()
    thread.join()
run.finish()
