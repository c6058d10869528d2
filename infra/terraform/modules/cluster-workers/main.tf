# GKE Standard for workers, KEDA, the collector and, where it is wanted, RabbitMQ.

resource "google_container_cluster" "main" {
  #checkov:skip=CKV_GCP_12:Dataplane V2 (datapath_provider) enforces NetworkPolicies
  #checkov:skip=CKV_GCP_20:The control plane has no IP endpoint that networks could be authorised for
  #checkov:skip=CKV_GCP_65:Rights are IAM roles; groups of Workspace need a domain that not everybody has
  name                = var.name
  location            = var.region
  deletion_protection = var.deletion_protection
  network             = var.network.network
  subnetwork          = var.network.subnetwork
  networking_mode     = "VPC_NATIVE"
  datapath_provider   = "ADVANCED_DATAPATH"
  # Flow logs see what pods of one node say to each other.
  enable_intranode_visibility = true
  resource_labels             = var.labels

  # Pools of our own take its place.
  remove_default_node_pool = true
  initial_node_count       = 1

  node_config {
    service_account = var.service_account
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

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

  workload_identity_config {
    workload_pool = "${var.project_id}.svc.id.goog"
  }

  dynamic "database_encryption" {
    for_each = var.kms_key[*]
    content {
      state    = "ENCRYPTED"
      key_name = database_encryption.value
    }
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
    # Workers scale to none: nodes without work go soon.
    autoscaling_profile = "OPTIMIZE_UTILIZATION"
  }

  secret_manager_config {
    enabled = true
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS", "POD", "DEPLOYMENT", "STATEFULSET", "HPA", "STORAGE"]
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
    gce_persistent_disk_csi_driver_config {
      enabled = true
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  lifecycle {
    # Of the pool that is removed.
    ignore_changes = [node_config]
  }
}

locals {
  pools = merge(
    { ordinary = merge(var.nodes, { spot = false }) },
    var.spot_nodes.max == 0 ? {} : { spot = merge(var.spot_nodes, { spot = true }) },
  )
}

resource "google_container_node_pool" "main" {
  for_each = local.pools

  name     = each.key
  cluster  = google_container_cluster.main.id
  location = var.region

  autoscaling {
    total_min_node_count = each.value.min
    total_max_node_count = each.value.max
    # Spot machines are where there are any.
    location_policy = each.value.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  upgrade_settings {
    strategy        = "SURGE"
    max_surge       = 1
    max_unavailable = 0
  }

  network_config {
    enable_private_nodes = true
  }

  node_config {
    machine_type    = each.value.machine_type
    spot            = each.value.spot
    image_type      = "COS_CONTAINERD"
    service_account = var.service_account
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { pool = each.key }
    resource_labels = var.labels

    gcfs_config {
      enabled = true
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    # Only workers tolerate that their node vanishes.
    dynamic "taint" {
      for_each = each.value.spot ? [1] : []
      content {
        key    = "cloud.google.com/gke-spot"
        value  = "true"
        effect = "NO_SCHEDULE"
      }
    }
  }
}
