# A job on Cloud Run that runs once for each image, and is done before whatever depends on it changes: migrations.

resource "google_cloud_run_v2_job" "main" {
  name                = var.name
  location            = var.region
  deletion_protection = var.deletion_protection
  labels              = var.labels
  # Another image, another run; the job counts as changed only once that run has succeeded.
  run_execution_token = substr(sha256(var.image), 0, 12)

  template {
    task_count  = 1
    parallelism = 1

    template {
      service_account       = var.service_account
      timeout               = "${var.timeout_seconds}s"
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      # A migration that failed is looked at, not repeated.
      max_retries = 0

      vpc_access {
        connector = var.egress.connector
        egress    = "ALL_TRAFFIC"

        dynamic "network_interfaces" {
          for_each = var.egress.subnetwork[*]
          content {
            network    = var.egress.network
            subnetwork = network_interfaces.value
          }
        }
      }

      containers {
        name       = "main"
        image      = var.image
        command    = var.command
        args       = var.args
        depends_on = ["database-proxy"]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = var.env
          content {
            name  = env.key
            value = env.value
          }
        }
      }

      containers {
        name  = "database-proxy"
        image = var.database_proxy.image
        # Told to end when the job is done, it must not count as a failure.
        args = concat(var.database_proxy.args, ["--exit-zero-on-sigterm"])

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        startup_probe {
          period_seconds    = 5
          failure_threshold = 24
          timeout_seconds   = 5
          http_get {
            path = "/startup"
            port = 9801
          }
        }
      }
    }
  }
}
