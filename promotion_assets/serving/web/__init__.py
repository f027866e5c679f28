"""The server's HTTP side: MLflow's protocol, the Open Inference Protocol, health and metrics."""
