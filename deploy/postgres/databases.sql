-- A database each: Dagster and MLflow keep their migrations in tables of the same name.
CREATE DATABASE promotion_ledger;
CREATE DATABASE mlflow;
CREATE DATABASE dagster;
