# The name of each resource begins with the one policy that it must fail.

resource "google_cloud_run_v2_service" "ckv_tandem_1_open_to_the_world" {
  name     = "gateway"
  location = "asia-south1"
  ingress  = "INGRESS_TRAFFIC_ALL"
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

resource "google_cloud_run_v2_service" "ckv_tandem_1_open_by_default" {
  name     = "gateway"
  location = "asia-south1"
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

resource "google_cloud_run_v2_service_iam_member" "ckv_tandem_2_all_users" {
  name   = "gateway"
  role   = "roles/run.invoker"
  member = "allUsers"
}

resource "google_cloud_run_v2_service" "ckv_tandem_3_default_account" {
  name     = "gateway"
  location = "asia-south1"
  ingress  = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  scaling {
    max_instance_count = 10
  }
  template {
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

resource "google_cloud_run_v2_job" "ckv_tandem_3_default_account_of_a_job" {
  name     = "migrate"
  location = "asia-south1"
  template {
    template {
      service_account = "123-compute@developer.gserviceaccount.com"
      containers {
        image = "r/tandem@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      }
    }
  }
}

resource "google_cloud_run_v2_service" "ckv_tandem_4_latest" {
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
      image = "r/gateway:latest"
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

resource "google_cloud_run_v2_job" "ckv_tandem_4_a_tag" {
  name     = "migrate"
  location = "asia-south1"
  template {
    template {
      service_account = "migrate@acme.iam.gserviceaccount.com"
      containers {
        image = "r/tandem:1.2.3"
      }
    }
  }
}

resource "google_cloud_run_v2_service" "ckv_tandem_5_cpu_unsaid" {
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
        limits = { cpu = "1" }
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

resource "google_cloud_run_v2_service" "ckv_tandem_5_gpu_without_cpu" {
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
        cpu_idle = true
        limits   = { cpu = "4", "nvidia.com/gpu" = "1" }
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

resource "google_cloud_run_v2_service" "ckv_tandem_6_half_a_minute" {
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
        failure_threshold = 3
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

resource "google_cloud_run_v2_service" "ckv_tandem_7_one_second" {
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
        timeout_seconds = 1
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

resource "google_cloud_run_v2_service" "ckv_tandem_8_latest_secret" {
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
            version = "latest"
          }
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service" "ckv_tandem_9_five_minutes" {
  name     = "gateway"
  location = "asia-south1"
  ingress  = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  scaling {
    max_instance_count = 10
  }
  template {
    service_account                  = "gateway@acme.iam.gserviceaccount.com"
    timeout                          = "300s"
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

resource "google_cloud_run_v2_service" "ckv_tandem_10_two_thousand" {
  name     = "gateway"
  location = "asia-south1"
  ingress  = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  scaling {
    max_instance_count = 10
  }
  template {
    service_account                  = "gateway@acme.iam.gserviceaccount.com"
    timeout                          = "3600s"
    max_instance_request_concurrency = 2000
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

resource "google_cloud_run_v2_service" "ckv_tandem_11_unbounded" {
  name     = "gateway"
  location = "asia-south1"
  ingress  = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
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

resource "google_compute_backend_service" "ckv_tandem_20_timeout" {
  name            = "api"
  security_policy = "armor"
  timeout_sec     = 3600
}

resource "google_compute_backend_service" "ckv_tandem_21_no_firewall" {
  name = "api"
}

resource "google_project_iam_binding" "ckv_tandem_22_whole_role" {
  project = "acme"
  role    = "roles/run.invoker"
  members = ["serviceAccount:g@acme.iam.gserviceaccount.com"]
}

resource "google_service_account_key" "ckv_tandem_23_key" {
  service_account_id = "g"
}

resource "google_secret_manager_secret_version" "ckv_tandem_24_in_the_state" {
  secret      = "key"
  secret_data = "hunter2"
}

resource "google_pubsub_subscription" "ckv_tandem_25_expires" {
  name  = "s"
  topic = "t"
}

resource "google_container_node_pool" "ckv_tandem_26_two_gpus_of_one" {
  cluster = "c"
  node_config {
    service_account = "nodes@acme.iam.gserviceaccount.com"
    machine_type    = "g2-standard-8"
    guest_accelerator {
      type  = "nvidia-l4"
      count = 2
    }
  }
}

resource "google_container_node_pool" "ckv_tandem_27_default_account" {
  cluster = "c"
  node_config {
    service_account = "123-compute@developer.gserviceaccount.com"
    machine_type    = "g2-standard-24"
    guest_accelerator {
      type  = "nvidia-l4"
      count = 2
    }
  }
}

resource "helm_release" "ckv_tandem_28_second_provider" {
  name    = "adapter"
  chart   = "prometheus-adapter"
  version = "5.2.0"
}
