terraform {
  required_version = ">= 1.11.0"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = ">= 3.1.0, < 4.0.0"
    }
  }

  # bucket and prefix (workloads/REGION/CLUSTER: each cluster has a state of its own) come with -backend-config.
  backend "gcs" {}
}

# The control plane's name and the caller's own identity: no address, no certificate, no token in the state.
provider "helm" {
  kubernetes = {
    host = "https://${local.endpoint}"
    exec = {
      api_version = "client.authentication.k8s.io/v1"
      command     = "gke-gcloud-auth-plugin"
    }
  }
}
