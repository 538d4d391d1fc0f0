def find(path, scheduler=""):
    return None
