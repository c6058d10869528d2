# GKE Autopilot for model servers: nodes with GPUs come and go with the pods that ask for them. What Autopilot decides by itself
# (Workload Identity, shielded nodes, Dataplane V2, GCS FUSE) is not repeated here: the API refuses some of it.

resource "google_container_cluster" "main" {
  #checkov:skip=CKV_GCP_12:Autopilot has Dataplane V2, which enforces NetworkPolicies
  #checkov:skip=CKV_GCP_13:Autopilot issues no client certificates
  #checkov:skip=CKV_GCP_61:Autopilot decides; flow logs are on in the subnetwork
  #checkov:skip=CKV_GCP_69:Autopilot always has the metadata server
  #checkov:skip=CKV_GCP_20:The control plane has no IP endpoint that networks could be authorised for
  #checkov:skip=CKV_GCP_65:Rights are IAM roles; groups of Workspace need a domain that not everybody has
  name                = var.name
  location            = var.region
  enable_autopilot    = true
  deletion_protection = var.deletion_protection
  network             = var.network.network
  subnetwork          = var.network.subnetwork
  resource_labels     = var.labels

  ip_allocation_policy {
    cluster_secondary_range_name  = var.network.pods_range
    services_secondary_range_name = var.network.services_range
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  # The control plane is reached by its name, by whoever IAM lets in: no bastion, no lists of addresses.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }
    ip_endpoints_config {
      enabled = false
    }
  }

  # A plain ClusterIP is known inside the cluster only. A headless service is published to the network under this domain, and
  # the addresses of pods are routed there.
  dns_config {
    cluster_dns                   = "CLOUD_DNS"
    cluster_dns_scope             = "CLUSTER_SCOPE"
    additive_vpc_scope_dns_domain = var.dns_domain
  }

  # For the other way: an internal gateway in front of the pods.
  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }

  release_channel {
    channel = var.release_channel
  }

  maintenance_policy {
    recurring_window {
      start_time = "2026-01-03T18:00:00Z"
      end_time   = "2026-01-03T22:00:00Z"
      recurrence = "FREQ=WEEKLY;BYDAY=SA,SU"
    }
  }

  cluster_autoscaling {
    auto_provisioning_defaults {
      service_account = var.service_account
      oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    }
  }

  secret_manager_config {
    enabled = true
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS", "POD", "DEPLOYMENT", "STATEFULSET", "HPA", "STORAGE", "DCGM"]
    managed_prometheus {
      enabled = true
    }
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  security_posture_config {
    mode               = "BASIC"
    vulnerability_mode = "VULNERABILITY_BASIC"
  }

  cost_management_config {
    enabled = true
  }

  binary_authorization {
    evaluation_mode = "PROJECT_SINGLETON_POLICY_ENFORCE"
  }

  addons_config {
    gke_backup_agent_config {
      enabled = var.backup_agent
    }
  }
}
