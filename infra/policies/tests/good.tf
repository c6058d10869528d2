# Passes every policy.
resource "google_cloud_run_v2_service" "good" {
  name     = "gateway"
  location = "asia-south1"
  ingress  = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  scaling {
    max_instance_count = 10
  }
  template {
    service_account                  = "gateway@acme.iam.gserviceaccount.com"
    timeout                          = "3600s"
    max_instance_request_concurrency = 1000
    containers {
      image = "r/gateway@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      ports {
        container_port = 8080
      }
      resources {
        cpu_idle = false
        limits   = { cpu = "1" }
      }
      startup_probe {
        period_seconds    = 10
        failure_threshold = 18
      }
      liveness_probe {
        timeout_seconds = 5
      }
      env {
        name = "KEY"
        value_source {
          secret_key_ref {
            secret  = "key"
            version = "3"
          }
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "good" {
  name   = "gateway"
  role   = "roles/run.invoker"
  member = "serviceAccount:g@acme.iam.gserviceaccount.com"
}

resource "google_cloud_run_v2_job" "good" {
  name     = "migrate"
  location = "asia-south1"
  template {
    template {
      service_account = "migrate@acme.iam.gserviceaccount.com"
      containers {
        image = "r/tandem@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      }
    }
  }
}

resource "google_compute_backend_service" "good" {
  name            = "api"
  security_policy = "armor"
}

resource "google_pubsub_subscription" "good" {
  name  = "s"
  topic = "t"
  expiration_policy {
    ttl = ""
  }
}

resource "google_container_node_pool" "good" {
  cluster = "c"
  node_config {
    service_account = "nodes@acme.iam.gserviceaccount.com"
    machine_type    = "g2-standard-24"
    guest_accelerator {
      type  = "nvidia-l4"
      count = 2
    }
  }
}

resource "helm_release" "keda" {
  name    = "keda"
  chart   = "keda"
  version = "2.20.2"
}
