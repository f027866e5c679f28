"""What a worker is told; found by its name, so this folder belongs on PYTHONPATH.

celery -A dagster_celery.app worker --queues dagster --concurrency 1
"""

import os

broker_url = os.environ["PROMOTION_CELERY_BROKER"]
result_backend = os.environ["PROMOTION_CELERY_BACKEND"]
task_track_started = True
# One evaluation at a time, and none reserved behind it: another worker may be free.
worker_concurrency = 1
worker_prefetch_multiplier = 1
# A task that its worker did not finish is not lost with it; a run that has ended is not repeated.
task_acks_late = True
task_reject_on_worker_lost = False
# A process a run: what an evaluation leaves in memory is gone with it.
worker_max_tasks_per_child = 1
broker_connection_retry_on_startup = True
if broker_url.startswith("filesystem:"):
    _folder = os.environ["PROMOTION_CELERY_FOLDER"]
    broker_transport_options = {"data_folder_in": _folder, "data_folder_out": _folder}
