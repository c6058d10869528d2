# One service on Cloud Run, public behind the load balancer or internal behind invoker IAM: there is no third way.

locals {
  facts = jsondecode(file("${path.module}/../../../data/gpus.json"))

  # GiB that Cloud Run allows with so many vCPUs.
  memory_gib = {
    1  = { least = 0.5, most = 4 }
    2  = { least = 0.5, most = 8 }
    4  = { least = 2, most = 16 }
    6  = { least = 4, most = 24 }
    8  = { least = 4, most = 32 }
    20 = { least = 80, most = 80 }
    22 = { least = 80, most = 88 }
  }

  is_public = var.exposure == "public"
}

resource "google_cloud_run_v2_service" "main" {
  name                 = var.name
  location             = var.region
  deletion_protection  = var.deletion_protection
  ingress              = local.is_public ? "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" : "INGRESS_TRAFFIC_INTERNAL_ONLY"
  default_uri_disabled = local.is_public
  invoker_iam_disabled = local.is_public
  custom_audiences     = var.custom_audiences
  labels               = var.labels

  scaling {
    min_instance_count = var.min_instances
    max_instance_count = var.max_instances
  }

  template {
    service_account                  = var.service_account
    timeout                          = "${var.timeout_seconds}s"
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    max_instance_request_concurrency = var.concurrency
    gpu_zonal_redundancy_disabled    = var.gpu == null ? null : true
    labels                           = var.labels

    dynamic "node_selector" {
      for_each = var.gpu[*]
      content {
        accelerator = node_selector.value
      }
    }

    # Of each revision, so that a new one beside the old can't exceed the connections either.
    scaling {
      max_instance_count = var.max_instances
    }

    vpc_access {
      connector = var.egress.connector
      egress    = var.egress_traffic

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
      depends_on = concat(var.database_proxy == null ? [] : ["database-proxy"], var.collector_image == null ? [] : ["collector"])

      ports {
        container_port = var.http_port
      }

      resources {
        # true means CPU only while requests run.
        cpu_idle          = var.billing == "request"
        startup_cpu_boost = true
        limits = merge(
          { cpu = tostring(var.vcpus), memory = "${var.memory_mib}Mi" },
          var.gpu == null ? {} : { "nvidia.com/gpu" = "1" },
        )
      }

      # The first connection through Direct VPC egress may take a minute: three are allowed.
      startup_probe {
        period_seconds    = 10
        failure_threshold = 18
        timeout_seconds   = 5
        http_get {
          path = var.probes.ready
          port = var.probes.port
        }
      }

      readiness_probe {
        period_seconds    = 5
        failure_threshold = 2
        success_threshold = 1
        timeout_seconds   = 3
        http_get {
          path = var.probes.ready
          port = var.probes.port
        }
      }

      liveness_probe {
        period_seconds    = 15
        failure_threshold = 4
        timeout_seconds   = 5
        http_get {
          path = var.probes.live
          port = var.probes.port
        }
      }

      dynamic "env" {
        for_each = var.env
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }

      dynamic "volume_mounts" {
        for_each = var.config_bucket[*]
        content {
          name       = "config"
          mount_path = volume_mounts.value.mount_path
        }
      }
    }

    dynamic "containers" {
      for_each = var.database_proxy[*]
      content {
        name  = "database-proxy"
        image = containers.value.image
        args  = containers.value.args

        resources {
          cpu_idle = var.billing == "request"
          limits   = { cpu = "0.5", memory = "256Mi" }
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

        liveness_probe {
          period_seconds    = 15
          failure_threshold = 4
          timeout_seconds   = 5
          http_get {
            path = "/liveness"
            port = 9801
          }
        }
      }
    }

    dynamic "containers" {
      for_each = var.collector_image[*]
      content {
        name  = "collector"
        image = containers.value
        args  = ["--config=env:COLLECTOR_CONFIG"]

        env {
          name  = "COLLECTOR_CONFIG"
          value = file("${path.module}/collector.yaml")
        }

        resources {
          cpu_idle = var.billing == "request"
          limits   = { cpu = "0.5", memory = "256Mi" }
        }

        startup_probe {
          period_seconds    = 5
          failure_threshold = 24
          timeout_seconds   = 5
          http_get {
            path = "/"
            port = 13133
          }
        }
      }
    }

    dynamic "volumes" {
      for_each = var.config_bucket[*]
      content {
        name = "config"
        gcs {
          bucket    = volumes.value.bucket
          read_only = true
          # A change is seen within ten seconds.
          mount_options = ["metadata-cache-ttl-secs=10"]
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  name     = google_cloud_run_v2_service.main.name
  location = google_cloud_run_v2_service.main.location
  role     = "roles/run.invoker"
  member   = each.value
}
