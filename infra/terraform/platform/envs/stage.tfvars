# As production, smaller.
environment = "stage"

regions = {
  asia-south1 = { cidr = "10.16.0.0/12" }
}
primary_region = "asia-south1"

database = {
  vcpus            = 2
  memory_mib       = 7680
  max_connections  = 500
  highly_available = true
}

# With CPU between requests too: gateways measure the backlog that workers are scaled by, and write down what was used.
gateway = { billing = "instance", min_instances = 1, max_instances = 8 }
workers = { max_replicas = 8 }

models = {
  chat = {
    region        = "asia-south1"
    model         = "llama-3.1-8b"
    machine_type  = "g2-standard-8"
    gpu_count     = 1
    format        = "fp8"
    max_model_len = 32768
    max_replicas  = 2
    # Without them requests with tools are refused.
    vllm_args = { enable-auto-tool-choice = "", tool-call-parser = "llama3_json" }
  }
}
catalog_file  = "envs/stage.models.toml.tftpl"
provider_keys = { VLLM_API_KEY = "1" }
