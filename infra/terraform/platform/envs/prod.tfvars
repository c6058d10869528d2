# Protected, highly available, always warm. A second region is one more entry of `regions`, `models` and the catalog.
environment = "prod"

regions = {
  asia-south1 = { cidr = "10.16.0.0/12" }
}
primary_region = "asia-south1"

database = {
  vcpus            = 4
  memory_mib       = 15360
  max_connections  = 1000
  highly_available = true
  backup_days      = 30
}

# Gateways have CPU between requests too: they measure the backlog that workers are scaled by, and write down what was used.
gateway       = { billing = "instance", min_instances = 2, max_instances = 20 }
orchestrator  = { min_instances = 2, max_instances = 20 }
workers       = { max_replicas = 20 }
nat_addresses = 2

models = {
  chat = {
    region        = "asia-south1"
    model         = "llama-3.1-8b"
    machine_type  = "g2-standard-8"
    gpu_count     = 1
    format        = "fp8"
    max_model_len = 32768
    min_replicas  = 2
    max_replicas  = 8
    # Without them requests with tools are refused.
    vllm_args = { enable-auto-tool-choice = "", tool-call-parser = "llama3_json" }
  }
}
catalog_file  = "envs/prod.models.toml.tftpl"
provider_keys = { VLLM_API_KEY = "1" }

webhooks_key_version = "1"

usage = {
  self_hosted = {
    our-gpus = {
      usd_per_month                  = 1298
      managed_model                  = "gemini-2.5-flash"
      managed_input_usd_per_million  = 0.30
      managed_output_usd_per_million = 2.50
    }
  }
}

edge = { firewall_enforces = true }
